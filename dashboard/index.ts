export { type Dashboard, type DashboardConfig, createDashboard } from './dashboard.js';
