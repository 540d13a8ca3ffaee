"""What keeps an installation running; rests on the foundation alone."""
