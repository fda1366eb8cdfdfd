"""What stands between a browser and the UI: whom it answers, what it takes, and who is logged in.

An ASGI middleware that knows nothing of the application behind it but the path where it takes GraphQL.
"""
