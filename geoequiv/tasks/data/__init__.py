"""Where recorded data comes from: official sources, folders of the user, the cache, and the formats of their files."""
