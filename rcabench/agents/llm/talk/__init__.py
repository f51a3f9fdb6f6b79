"""One agent in conversation with its model: accounted for, on tape, with tools, until there is an answer."""
