// The client of the API, which the build makes one module of: the pages load nothing else from outside their folder.
export * from '../../client/index.js';
