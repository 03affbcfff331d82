# Calls one function of an R model and says what came of it.  engines/r.py starts R and hands over
# the request; what is here lives in an environment of its own, so that a model never sees it.
#
# `run_step` returns list(returned = ) or list(error = list(kind, message, where)), and in both
# `sources`: the files that were source()d.

sources <- character() # what was source()d, by real paths
entered <- character() # the files of the model that were looked into
failure <- NULL # the first error that nothing in the model caught

run_step <- function(request, arguments, told) {
  arguments <- prepare(request, arguments, told)
  c(attempt(request$root, call_step(request, arguments)), list(sources = as.list(sources)))
}

# Makes R ready for a model, and returns the arguments with its progress handler.
prepare <- function(request, arguments, told) {
  options(warn = 1, keep.source = TRUE) # warnings at once; errors with file and line
  watch(request$root)
  attach(list(aoa_create_context = context_maker(arguments$data_conf)),
    name = "modelmake", pos = length(search())) # everything else is found first
  set.seed(request$seed)
  c(arguments, list(progress_callback_handler = progress_handler(told)))
}

# Evaluates an expression of a model's: list(returned = ) or list(error = ).
attempt <- function(root, expression) {
  failure <<- NULL
  withRestarts(
    tryCatch(
      withCallingHandlers(
        list(returned = expression),
        error = function(error) failure <<- describe(error, sys.calls(), root)
      ),
      # Where the stack ran out, there was no room for the first of the two.
      error = function(error) list(error = failure %||% describe(error, list(), root))
    ),
    modelmake_quit = function(error) list(error = error)
  )
}

# ---- the step's function -------------------------------------------------------------------------

call_step <- function(request, arguments) {
  if (request$step == "score") {
    return(score(request, arguments))
  }
  name <- find_function(request$step, request$modules)
  if (is.null(name)) {
    files <- sprintf("model_modules/%s.R", request$modules)
    listed <- paste0("`", files, "`", collapse = " or ")
    if (!any(file.exists(files))) fault("there is no %s", listed)
    fault("no function `%s` in %s", request$step, listed)
  }
  plain(call_function(name, arguments))
}

# The dataset's rows are scored by a function that reads them itself, or handed to the one that
# answers requests.  Both have had several names over the years.
score <- function(request, arguments) {
  batch <- find_function(c("score.batch", "score"), request$modules, reads_itself)
  if (!is.null(batch)) {
    return(table_of(call_function(batch, arguments)))
  }
  name <- answering(request$modules)
  if (is.null(name)) {
    fault("no function `score.batch`, `score`, `score.restful` or `predict.model` in `scoring.R`")
  }
  if (length(request$data_files) == 0) {
    fault("no function `score.batch`, and the dataset names no file to score")
  }
  rows <- do.call(rbind, lapply(request$data_files, read_rows))
  model <- call_function("initialise_model", arguments)
  table_of(call_function(name, c(arguments, list(model = model, data = rows))))
}

# Returns the name of the function that answers requests, NULL where there is none.
answering <- function(modules) {
  fits <- function(name, found) name != "score" || !reads_itself(name, found)
  name <- find_function(c("score.restful", "predict.model", "score"), modules, fits)
  if (!is.null(name) && is.null(find_function("initialise_model", modules))) {
    fault("no function `initialise_model` in `scoring.R`, which loads the model for `%s`", name)
  }
  name
}

reads_itself <- function(name, found) {
  name == "score.batch" || "data_conf" %in% names(formals(found))
}

# Returns the first of the names that the model gives a fitting function, sourcing its files until
# there is one; NULL where there is none.
find_function <- function(names, modules, fits = function(name, found) TRUE) {
  for (module in modules) {
    file <- sprintf("model_modules/%s.R", module)
    if (!file.exists(file)) next
    if (!file %in% entered) {
      entered <<- c(entered, file)
      sys.source(file, envir = globalenv(), keep.source = TRUE)
    }
    for (name in names) {
      found <- get0(name, envir = globalenv(), mode = "function", inherits = FALSE)
      if (!is.null(found) && fits(name, found)) {
        return(name)
      }
    }
  }
  NULL
}

# Calls a function with the arguments that it asks for by name, with all of them if it takes `...`.
call_function <- function(name, available) {
  asked <- formals(get(name, envir = globalenv()))
  given <- names(available)
  if (!"..." %in% names(asked)) given <- intersect(names(asked), given)
  for (parameter in setdiff(names(asked), c("...", given))) {
    if (identical(asked[[parameter]], quote(expr = ))) {
      fault("`%s` asks for `%s`, which is not among what a model is given: %s",
        name, parameter, paste(sort(names(available)), collapse = ", "))
    }
  }
  # By symbols, so that a traceback shows names and not all of the data.
  frame <- list2env(available, parent = globalenv())
  eval(as.call(c(as.name(name), sapply(given, as.name, simplify = FALSE))), frame)
}

# ---- what a model is given -----------------------------------------------------------------------

# Progress goes to Python.  It never fails a training: not in a worker process either, where there
# is no Python to go to.
progress_handler <- function(told) {
  function(iter = NULL, epoc = NULL, score = NULL, ...) {
    values <- list(iter = iter, epoc = epoc, score = score, ...)
    tryCatch(told(plain(Filter(Negate(is.null), values))), error = function(error) NULL)
    invisible(NULL)
  }
}

# The connection to the database of the dataset, for models that read from it.
context_maker <- function(data_conf) {
  function(...) {
    host <- data_conf$hostname
    if (is.null(host)) {
      stop("no database is configured: the dataset has no `hostname`", call. = FALSE)
    }
    for (package in c("DBI", "teradatasql")) {
      if (!requireNamespace(package, quietly = TRUE)) {
        stop(sprintf("`aoa_create_context` needs the R package `%s`: name it in requirements.R",
          package), call. = FALSE)
      }
    }
    driver <- getExportedValue("teradatasql", "TeradataDriver")()
    quoted <- vapply(c(host = host, user = Sys.getenv("TD_USERNAME"),
      password = Sys.getenv("TD_PASSWORD"), logmech = Sys.getenv("TD_LOGMECH", "TDNEGO")),
      encodeString, "", quote = '"')
    settings <- sprintf('{%s}', paste0('"', names(quoted), '":', quoted, collapse = ","))
    getExportedValue("DBI", "dbConnect")(driver, settings)
  }
}

read_rows <- function(file) {
  first <- scan(file, "", sep = ",", nlines = 1, quiet = TRUE, encoding = "UTF-8")
  headed <- all(is.na(suppressWarnings(as.numeric(first))))
  utils::read.csv(file, header = headed, check.names = FALSE, na.strings = c("NA", ""))
}

# ---- what it returns -----------------------------------------------------------------------------

# Returns a value as JSON can hold it: named vectors and lists are lists with names, NA is NULL,
# what is no data is NULL.
plain <- function(value) {
  if (is.object(value) && !is.list(value)) value <- as.character(value) # factors, dates
  if (is.list(value) || is.atomic(value) && !is.null(names(value))) return(lapply(value, plain))
  if (!is.atomic(value)) return(NULL)
  value <- as.vector(value)
  if (!any(is.na(value) & !is.nan(value))) return(value)
  if (length(value) == 1) NULL else lapply(value, plain)
}

# Returns predictions as list(names, columns), NULL where there are none.
table_of <- function(value) {
  if (is.null(value)) return(NULL)
  table <- columns_of(value)
  columns <- lapply(table$columns, function(column) as.list(plain(unname(column))))
  list(names = as.list(table$names), columns = columns)
}

# Returns the columns of a matrix, a data frame or a vector, and the names that they have.
columns_of <- function(value) {
  if (is.matrix(value)) {
    columns <- lapply(seq_len(ncol(value)), function(column) value[, column])
    return(list(names = colnames(value), columns = columns))
  }
  if (is.data.frame(value)) {
    if (any(vapply(value, is.matrix, NA))) {
      narrow <- function(column) {
        if (is.matrix(column)) as.data.frame(unclass(column)) else column
      }
      value <- do.call(data.frame, c(lapply(value, narrow), check.names = FALSE))
    }
    return(list(names = names(value), columns = unname(as.list(value))))
  }
  list(names = NULL, columns = list(unlist(value, use.names = FALSE)))
}

`%||%` <- function(value, otherwise) if (is.null(value)) otherwise else value

# ---- failures ------------------------------------------------------------------------------------

# A broken contract is told apart from an error of the model by its class.
fault <- function(...) stop(errorCondition(sprintf(...), class = "modelmake_fault"))

# Returns what an error says, and shows where it comes from.
describe <- function(error, calls, root) {
  message <- conditionMessage(error)
  if (inherits(error, "modelmake_fault")) {
    return(list(kind = "ModelFault", message = message, where = ""))
  }
  where <- show_traceback(calls, root, conditionCall(error))
  # A file that cannot be parsed says itself where.
  parsed <- regmatches(message, regexpr("^model_modules/[^:\n]+:[0-9]+", message))
  call <- conditionCall(error)
  told <- is.null(call) || length(parsed)
  # What a function was called with is in the traceback.
  name <- if (!told && is.name(call[[1]])) as.character(call[[1]]) else "+"
  called <- if (make.names(name) == name) paste0(name, "()") else if (!told) shorten(call)
  text <- paste(c(called, message), collapse = ": ")
  cat("Error: ", text, "\n", sep = "", file = stderr())
  list(kind = "R error", message = text, where = c(parsed, where)[1])
}

# Writes those of the calls that stand in the model's files, and returns the place of the last.
show_traceback <- function(calls, root, last = NULL) {
  places <- vapply(calls, place_of, "", root)
  texts <- vapply(calls, function(call) {
    if (identical(call[[1]], quote(.handleSimpleError))) call <- last # of R's own functions
    shorten(call)
  }, "")
  own <- places != ""
  if (any(own)) {
    lines <- sprintf("  %s: %s", places[own], texts[own])
    cat("Traceback (most recent call last):\n", paste0(lines, "\n"), sep = "", file = stderr())
  }
  c("", places[own])[sum(own) + 1]
}

shorten <- function(call) {
  line <- deparse(call, nlines = 1)[1]
  if (nchar(line) > 80) paste0(substr(line, 1, 77), "...") else line
}

# Returns where a call stands, as `model_modules/FILE:LINE`; nothing for what is not the model's.
place_of <- function(call, root) {
  reference <- attr(call, "srcref")
  file <- if (!is.null(reference)) attr(reference, "srcfile")
  if (is.null(file)) return("")
  path <- normalizePath(file.path(file$wd, file$filename), mustWork = FALSE)
  inside <- paste0(normalizePath(root), "/")
  if (!startsWith(path, inside)) return("")
  sprintf("%s:%d", substring(path, nchar(inside) + 1), reference[[1]])
}

# ---- R itself ------------------------------------------------------------------------------------

# Has `source` and `sys.source` note which files they run, and `quit` fail the step like any error:
# it would end the process, Python and all.
watch <- function(root) {
  note <- function(file) {
    if (!is.character(file)) return()
    path <- normalizePath(file, mustWork = FALSE)
    of_packages <- startsWith(path, paste0(normalizePath(.libPaths()), "/"))
    if (!any(of_packages)) sources <<- union(sources, path)
  }
  quit <- function(save = "default", status = 0, runLast = TRUE) {
    where <- show_traceback(sys.calls(), root)
    message <- sprintf("called quit(status = %s)", status)
    cat("Error: ", message, "\n", sep = "", file = stderr())
    invokeRestart("modelmake_quit", list(kind = "quit", message = message, where = where))
  }
  for (name in c("source", "sys.source")) {
    noting <- get(name, baseenv())
    body(noting) <- bquote({
      if (!missing(file)) .(note)(file)
      .(body(noting))
    })
    replace_in_base(name, noting)
  }
  for (name in c("quit", "q")) replace_in_base(name, quit)
}

replace_in_base <- function(name, value) {
  unlock <- get("unlockBinding", baseenv())
  unlock(name, baseenv())
  assign(name, value, envir = baseenv())
  lockBinding(name, baseenv())
}
