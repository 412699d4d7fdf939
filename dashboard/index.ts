export { type Dashboard, type DashboardConfig, createDashboard } from './dashboard.js';
export type { DashboardHandlerOptions } from './handler.js';
export type { Auth } from './auth/auth.js';
export type { PrincipalOf } from './auth/authenticate.js';
export type { Principal, Role } from './auth/principal.js';
export { type Loggers, pinoLoggers } from '../shared/log/given-loggers.js';
export type { Component, Logger, LoggerFactory } from '../shared/log/logger.js';
