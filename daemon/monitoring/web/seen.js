"use strict";
// Answers of the API as the report's own scripts take them: times in seconds, numbers that are none as NaN.
const LINE_DIGITS = 4;

function structureItems(found) {
  const seconds = (column) => column.map((ms) => (ms === null ? Infinity : ms / 1000));
  return { n: found.known_ms.length, group: found.group, label: found.label, labels: found.labels, side: found.side, isSwing: found.is_swing, formed: seconds(found.formed_ms), known: seconds(found.known_ms), ended: seconds(found.ended_ms), top: found.top, bottom: found.bottom };
}

function lineData(found) {
  const columns = found.columns.map(({ name, request, is_over, values }) => ({ name, request, is_over, decimals: decimalsOf(values), values: values.map((value) => value ?? NaN) }));
  return { times: found.open_ms.map((ms) => ms / 1000), length: found.size_ms / 1000, sizeMs: found.size_ms, columns };
}

// How many decimals show a line: some digits of its range.
function decimalsOf(values) {
  const known = values.filter((value) => value !== null);
  const span = known.length ? Math.max(...known) - Math.min(...known) || Math.abs(known[0]) : 0;
  return span > 0 ? Math.max(LINE_DIGITS - Math.floor(Math.log10(span)), 0) : 0;
}
