"""What agents think with: language models by provider, and the offline one that needs none."""
