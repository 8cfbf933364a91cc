"""What a stream plays: scripts, the steps that they consist of, the chunks that these become, and their pacing."""
