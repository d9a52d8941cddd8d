"""What networks see in images, a chunk at a time, on the disk: memory stays flat, and who was interrupted goes on."""
