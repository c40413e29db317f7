"""A page of results that needs no server: what may be compared, ranked and drawn.

`boards` says in plain data what the page shows, `document` puts it into one HTML file with the
style sheet and the scripts that lie here.
"""
