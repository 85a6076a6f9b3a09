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

// Columns, not objects: a year of minutes has 400,000 things to draw.
async function structureOf(packed) {
  const names = ["group", "label", "side", "is_swing", "formed", "known", "ended", "top", "bottom"];
  const [group, label, side, isSwing, before, step, life, rise, height] = await Promise.all(names.map((name) => integers(packed[name])));
  const n = group.length, unit = Math.pow(10, packed.decimals);
  const [known, formed, ended, top, bottom] = Array.from({ length: 5 }, () => new Float64Array(n));
  let time = packed.first, level = packed.first_top;
  for (let i = 0; i < n; i++) {
    time += step[i]; level += rise[i];
    known[i] = time; formed[i] = time - before[i]; ended[i] = life[i] < 0 ? Infinity : time + life[i];
    top[i] = level / unit; bottom[i] = (level - height[i]) / unit;
  }
  return { n, group, label, side, isSwing, known, formed, ended, top, bottom, labels: packed.labels };
}

async function columnOf(packed) {
  const [steps, isNumber] = await Promise.all([integers(packed.steps), packed.is_number ? integers(packed.is_number) : null]);
  const values = new Float64Array(steps.length), unit = Math.pow(10, packed.decimals);
  let value = packed.first;
  for (let i = 0; i < steps.length; i++) { value += steps[i]; values[i] = isNumber && !isNumber[i] ? NaN : value / unit; }
  return values;
}

async function featuresOf(packed) {
  if (!packed) return null;
  const times = await integers(packed.time);
  for (let i = 0, time = packed.first; i < times.length; i++) times[i] = time += times[i];
  const columns = await Promise.all(packed.columns.map(async (column) => ({ ...column, values: await columnOf(column) })));
  return { times, length: DATA.length ?? 0, columns };
}
