"""The layers, in flow order: raw, mysql, relational, trusted, refined; they meet by asset key."""
