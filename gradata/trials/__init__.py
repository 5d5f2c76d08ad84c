"""Programs that show the product to a person: the demo, and the torture run that kills and counts."""
