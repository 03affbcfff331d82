"""How the models of each language are called: `call(request, arguments)`."""
