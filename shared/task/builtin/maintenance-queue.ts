/** The queue of what the fleet does for itself. */
export const MAINTENANCE_QUEUE = 'maintenance';
