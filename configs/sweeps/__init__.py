"""One file for each sweep of the papers, and one that runs in minutes on two cores."""
