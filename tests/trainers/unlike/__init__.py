"""Three tasks that are as unlike image classification as the loop must bear, each a small file."""
