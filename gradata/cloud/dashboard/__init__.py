"""The pages: templates, one style sheet, one script, and the routes that serve them. Nothing comes from elsewhere."""
