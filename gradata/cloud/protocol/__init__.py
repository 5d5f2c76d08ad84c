"""From bytes to domain values and back: requests, answers, and what a record means. No framework, no store access."""
