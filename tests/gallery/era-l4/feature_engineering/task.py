def run_task(context, **kwargs):
    pass
