"""A page of results that needs no server: `boards` says what it shows, `document` writes it."""
