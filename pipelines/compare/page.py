def render(found, yaml):
    return "<!doctype html>"
