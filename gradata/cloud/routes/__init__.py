"""The routes of the API: which bytes go where. They hold no rule of their own."""
