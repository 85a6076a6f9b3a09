"use strict";
// Packed columns as the page reads them: integers, sums of steps, digits with powers; see report/data.py and report/steps.py.
const NO_NUMBER = 127;

async function stepsOf({ first, steps }) {
  const values = await integers(steps), found = new Float64Array(values.length);
  let value = first;
  for (let i = 0; i < values.length; i++) found[i] = value += values[i];
  return found;
}

async function floatsOf({ digits, power }) {
  const [whole, powers] = await Promise.all([integers(digits), integers(power)]), found = new Float64Array(whole.length);
  for (let i = 0; i < found.length; i++) found[i] = powers[i] === NO_NUMBER ? NaN : powers[i] < 0 ? whole[i] / Math.pow(10, -powers[i]) : whole[i] * Math.pow(10, powers[i]);
  return found;
}

// A table by its columns, each read as it was packed; what is no column stays.
async function tableOf(packed) {
  const read = (value) => (typeof value === "string" ? integers(value) : value?.steps !== undefined ? stepsOf(value) : value?.digits !== undefined ? floatsOf(value) : value);
  return Object.fromEntries(await Promise.all(Object.entries(packed).map(async ([name, value]) => [name, await read(value)])));
}

async function tablesOf(packed) {
  return Object.fromEntries(await Promise.all(Object.entries(packed ?? {}).map(async ([name, table]) => [name, await tableOf(table)])));
}

async function accountOf(packed) {
  if (!packed) return undefined;
  const table = await tableOf(packed), unit = Math.pow(10, packed.decimals);
  table.equity = table.equity.map((value) => value / unit);
  return table;
}
