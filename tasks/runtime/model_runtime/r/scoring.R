# Answers requests: the model is loaded once, and each request comes as a list of columns.  It is
# sourced into the environment of step.R.
#
# `load_model` and `predict` return list(returned = ) or list(error = list(kind, message, where)).

model <- NULL # what the model is called with, besides the rows
answers <- NULL # the name of its function
root <- NULL # the folder of its sources

load_model <- function(request, arguments, told) {
  root <<- request$root
  arguments <- prepare(request, arguments, told)
  attempt(root, {
    answers <<- answering(request$modules)
    if (is.null(answers)) {
      fault("no function `score.restful`, `predict.model` or `score` in `scoring.R` takes `data`")
    }
    model <<- c(arguments, list(model = call_function("initialise_model", arguments)))
    TRUE
  })
}

# A list keeps a NULL, should initialise_model return one.
predict <- function(columns, rows) {
  attempt(root, answer_of(call_function(answers, c(model, list(data = frame(columns, rows))))))
}

# Texts come as list(places, texts), since most are there many times.
frame <- function(columns, rows) {
  columns <- lapply(columns, function(one) if (is.list(one)) one[[2]][one[[1]]] else one)
  structure(columns, class = "data.frame", row.names = .set_row_names(rows))
}

answer_of <- function(value) {
  table <- columns_of(value)
  if (!length(table$columns) || !all(vapply(table$columns, holds_data, NA))) {
    fault("`%s` returned no data: %s", answers, class(value)[1])
  }
  list(
    names = as.character(table$names),
    rows = is.matrix(value) || is.data.frame(value),
    columns = lapply(table$columns, packed)
  )
}

holds_data <- function(column) !is.null(column) && (is.atomic(column) || is.list(column))

# Returns the values of a column as numbers, truths, or places among texts, and which are missing.
packed <- function(column) {
  if (is.object(column) && !is.list(column)) column <- as.character(column) # factors, dates
  column <- as.vector(unname(column))
  if (is.list(column)) {
    return(list(values = plain(column), texts = character(), missing = integer()))
  }
  if (!(is.numeric(column) || is.logical(column))) column <- as.character(column)
  missing <- which(is.na(column))
  texts <- character()
  if (is.character(column)) {
    texts <- unique(column[!is.na(column)])
    column <- match(column, texts, nomatch = 1L)
  }
  list(values = column, texts = texts, missing = missing)
}
