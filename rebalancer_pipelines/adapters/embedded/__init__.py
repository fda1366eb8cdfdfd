"""PostgreSQL and Valkey that come with the program and run only while somebody uses them."""
