/* Shows the OpenAPI document. A file of its own: the page's security policy runs no script that is written into it. */
const { csrf_token: csrf } = await fetch('api/v1/me').then((answer) => answer.json());

globalThis.SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#document',
  // Else the page would ask a service elsewhere whether the document is valid.
  validatorUrl: null,
  deepLinking: true,
  requestInterceptor: (request) => {
    if (csrf) request.headers['X-CSRF-Token'] = csrf;
    return request;
  },
});
