"""Pictures of messages: the coin that an image reveal shows, read offline in a process of its own."""
