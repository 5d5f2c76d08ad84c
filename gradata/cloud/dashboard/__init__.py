"""The dashboard: templates, one style sheet, one script, and their routes. Loads nothing from other hosts."""
