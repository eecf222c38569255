import { connect } from "./page.js";

connect(document);
