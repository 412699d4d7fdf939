export { type Dashboard, type DashboardConfig, createDashboard } from './dashboard.js';
export type { Auth } from './auth/auth.js';
export type { PrincipalOf } from './auth/authenticate.js';
export type { Principal, Role } from './auth/principal.js';
