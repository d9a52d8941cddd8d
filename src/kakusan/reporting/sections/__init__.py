"""What a report tells, one section a file: each takes what was found and returns a section, or None without any."""
