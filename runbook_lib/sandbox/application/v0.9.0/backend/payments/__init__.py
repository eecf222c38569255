"""Reading payment requests; nothing here touches the network or the database."""
