"""What a stream plays: steps, chunks, their pacing, and the script that they make."""
