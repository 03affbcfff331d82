raise SystemExit('not for this runner')
