// A cell that leads to the page of an event.
var dagcomponentfuncs = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});

dagcomponentfuncs.EventLink = (props) =>
  props.data && props.data.event_id
    ? React.createElement("a", { href: "/event?event=" + encodeURIComponent(props.data.event_id) }, String(props.value ?? "–"))
    : String(props.value ?? "–");
