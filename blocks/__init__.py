"""What runs talk to outside the installation; edited in the Prefect UI."""
