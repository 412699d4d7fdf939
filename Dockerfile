# One image for every process of the fleet; the command says which: `docker run … taskfleet worker`.

FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json index.ts ./
COPY scripts scripts
COPY shared shared
COPY producer producer
COPY worker worker
COPY dashboard dashboard
COPY cli cli
COPY client client
COPY testing testing
COPY ai ai
COPY telemetry telemetry
RUN npm run build

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json LICENSE ./
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
# All of it belongs to root: the processes can read it and cannot change it.
USER node

# Node is process 1 here, and needs no init in front of it: the command has handlers of its own for SIGTERM and SIGINT
# (without one the kernel would drop them for process 1), and a worker starts threads but no processes, so that there are
# no orphans to reap.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s --retries=3 CMD ["node", "dist/cli/main.js", "doctor"]
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["worker"]
