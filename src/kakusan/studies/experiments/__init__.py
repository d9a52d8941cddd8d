"""The experiments of the chapter's exercises: each trains what it compares, measures, and says what it found."""
