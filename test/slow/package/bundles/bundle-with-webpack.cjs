/** Runs webpack with the configurations in webpack.json, and prints its errors, and its warnings about this package. */
const { webpack } = require('webpack');

webpack(require('./webpack.json'), (failure, stats) => {
  if (failure) throw failure;
  const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
  for (const { message } of errors) console.log(message);
  for (const { message, moduleName = '' } of warnings) if (/\btaskfleet\b/.test(moduleName)) console.log(moduleName, message);
});
