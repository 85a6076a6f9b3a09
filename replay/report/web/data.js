"use strict";
// What the page is made of: the embedded data, unpacked.
const SUMMARY = DATA.summary;
moneyPlaces = DATA.money_places ?? moneyPlaces;
const TRADES = DATA.trades.number.map((_, i) => Object.fromEntries(Object.entries(DATA.trades).map(([name, column]) => [name, column[i]])));
// A column of integers: bytes of each, then base64 of zlib of those bytes, the lowest of all first; see report_data.py.
async function integers(text) {
  const width = Number(text[0]);
  const bytes = Uint8Array.from(atob(text.slice(1)), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const n = planes.length / width, values = new Int32Array(n), shift = 32 - 8 * width;
  for (let plane = 0; plane < width; plane++) for (let i = 0; i < n; i++) values[i] |= planes[plane * n + i] << (8 * plane);
  if (shift) for (let i = 0; i < n; i++) values[i] = (values[i] << shift) >> shift;
  return values;
}

// Candles are stored as differences, because those are small and pack well; see report_data.py.
async function candlesOf(packed) {
  const columns = await Promise.all(["time", "open", "high", "low", "close", "volume", "volume_power"].map((name) => integers(packed[name])));
  const [time, open, high, low, close, digits, power] = columns;
  const unit = Math.pow(10, packed.decimals);
  const rows = new Array(time.length);
  let t = packed.first, before = packed.first_open;
  for (let i = 0; i < time.length; i++) {
    t += time[i];
    const o = before + open[i], c = o + close[i];
    rows[i] = { time: t, open: o / unit, high: (Math.max(o, c) + high[i]) / unit, low: (Math.min(o, c) - low[i]) / unit, close: c / unit, volume: digits[i] * Math.pow(10, power[i]) };
    before = c;
  }
  return rows;
}

// Candles `first` … `last - 1`, every `size` of them drawn as one.
function coarser(rows, first, last, size) {
  if (size <= 1) return rows.slice(first, last);
  const joined = [];
  for (let i = first; i < last; i += size) {
    const one = { ...rows[i] };
    for (let j = i + 1; j < Math.min(i + size, last); j++) {
      const row = rows[j];
      if (row.high > one.high) one.high = row.high;
      if (row.low < one.low) one.low = row.low;
      one.close = row.close;
      one.volume += row.volume;
    }
    joined.push(one);
  }
  return joined;
}
