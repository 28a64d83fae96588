// How cells of tables are written. Values are text or numbers from the marts; none is ever read as markup.
var dagfuncs = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});

dagfuncs.utc = (value) => (value ? value.slice(0, 19).replace("T", " ") : "");
dagfuncs.local = (value) => (value ? window.pndLocal(value, true) : "");
dagfuncs.number = (value, digits) =>
  value == null ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
dagfuncs.significant = (value) => (value == null ? "–" : value.toLocaleString("en", { maximumSignificantDigits: 4 }));
dagfuncs.percent = (value, digits) => (value == null ? "–" : dagfuncs.number(100 * value, digits) + " %");
dagfuncs.atLeast = (value, isBound) => (value == null ? "–" : (isBound ? "≥ " : "") + dagfuncs.number(value, 0));
dagfuncs.words = (value) => (value == null || value === "" ? "–" : String(value));
dagfuncs.yesNo = (value) => (value == null ? "–" : value ? "yes" : "no");
dagfuncs.lasting = (seconds) => {
  if (seconds == null) return "–";
  const size = Math.abs(seconds);
  if (size < 120) return dagfuncs.number(seconds, size < 10 ? 1 : 0) + " s";
  if (size < 7200) return dagfuncs.number(seconds / 60, 0) + " min";
  return size < 172800 ? dagfuncs.number(seconds / 3600, 0) + " h" : dagfuncs.number(seconds / 86400, 0) + " d";
};
