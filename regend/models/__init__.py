"""Local models: catalogue, download, hosts, generation that resumes exactly."""
