"""The paper venue: an exchange of our own that takes orders at real prices and play money."""
