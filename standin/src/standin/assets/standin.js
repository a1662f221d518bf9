// The stand-in's views, drawn from its control API.
