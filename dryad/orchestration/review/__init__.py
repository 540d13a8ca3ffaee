"""What a person is asked, what counts as an answer, and what the answer is good for."""
