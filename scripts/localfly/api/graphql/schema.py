"""The part of Fly's GraphQL schema that is here.

Names, arguments and types are those of the schema that Fly publishes with fly-go. Whatever else a
query asks for is refused by name, so that a client never mistakes an absent value for an empty one.
"""

from __future__ import annotations

from functools import cache

from graphql import GraphQLSchema, build_schema

_PAGE = "after: String, before: String, first: Int, last: Int"

_SCALARS = """
schema { query: Queries, mutation: Mutations }
scalar BigInt
scalar ISO8601DateTime
scalar JSON
enum AddOnType {
  arcjet enveloop fly_mysql kubernetes redis sentry supabase tigris
  upstash_kafka upstash_redis upstash_vector wafris
}
enum BillingStatus {
  CURRENT DELINQUENT PAST_DUE SOURCE_REQUIRED SUSPENDED TRIAL_ACTIVE TRIAL_ENDED
}
enum DeploymentStrategy { BLUEGREEN CANARY IMMEDIATE ROLLING ROLLING_ONE SIMPLE }
enum IPAddressType { private_v6 shared_v4 v4 v6 }
enum OrganizationType { PERSONAL SHARED }
enum PlatformVersionEnum { detached machines nomad }
interface Node { id: ID! }
interface Principal { email: String!, name: String }
interface AppRole { name: String! }
"""
_QUERIES = f"""
type Queries {{
  addOns({_PAGE}, type: AddOnType): AddOnConnection!
  app(id: String, internalId: String, key: String, name: String): App
  appNameAvailable(name: String!): Boolean!
  apps(active: Boolean, {_PAGE}, ids: [String!], organizationId: ID, platform: String,
    role: String, type: String): AppConnection!
  canPerformBluegreenDeployment(name: String!): Boolean!
  latestImageDetails(flyVersion: String, image: String!): ImageVersion!
  latestImageTag(repository: String!, snapshotId: ID): String!
  machine(machineId: String!): Machine!
  nearestRegion(wireguardGateway: Boolean): Region!
  organization(id: ID, name: String, slug: String): Organization
  organizations(admin: Boolean, {_PAGE}, type: OrganizationType,
    withBillingIssuesOnly: Boolean): OrganizationConnection!
  personalOrganization: Organization!
  platform: FlyPlatform!
  viewer: Principal!
  volume(id: ID!): Volume
}}
type Mutations {{
  allocateIpAddress(input: AllocateIPAddressInput!): AllocateIPAddressPayload
  createLimitedAccessToken(
    input: CreateLimitedAccessTokenInput!): CreateLimitedAccessTokenPayload
  deleteLimitedAccessToken(
    input: DeleteLimitedAccessTokenInput!): DeleteLimitedAccessTokenPayload
  releaseIpAddress(input: ReleaseIPAddressInput!): ReleaseIPAddressPayload
  setSecrets(input: SetSecretsInput!): SetSecretsPayload
  unsetSecrets(input: UnsetSecretsInput!): UnsetSecretsPayload
}}
"""
_INPUTS = """
input AllocateIPAddressInput {
  appId: ID!, clientMutationId: String, network: String, organizationId: ID, region: String
  serviceName: String, type: IPAddressType!
}
input ReleaseIPAddressInput {
  appId: ID, clientMutationId: String, ip: String, ipAddressId: ID, serviceName: String
}
input CreateLimitedAccessTokenInput {
  clientMutationId: String, expiry: String, name: String!, optInThirdParties: [String!]
  optOutThirdParties: [String!], organizationId: ID!, profile: String!, profileParams: JSON
}
input DeleteLimitedAccessTokenInput {
  clientMutationId: String, id: ID, revokedBy: String, token: String
}
input SecretInput { key: String!, value: String! }
input SetSecretsInput {
  appId: ID!, clientMutationId: String, replaceAll: Boolean, secrets: [SecretInput!]!
}
input UnsetSecretsInput { appId: ID!, clientMutationId: String, keys: [String!]! }
type AllocateIPAddressPayload { app: App!, clientMutationId: String, ipAddress: IPAddress }
type ReleaseIPAddressPayload { app: App!, clientMutationId: String }
type CreateLimitedAccessTokenPayload {
  clientMutationId: String, limitedAccessToken: LimitedAccessToken!
}
type DeleteLimitedAccessTokenPayload {
  clientMutationId: String, revokedBy: String, token: String
}
type SetSecretsPayload { app: App!, clientMutationId: String, release: Release }
type UnsetSecretsPayload { app: App!, clientMutationId: String, release: Release }
"""
_OBJECTS = f"""
type PageInfo {{
  endCursor: String, hasNextPage: Boolean!, hasPreviousPage: Boolean!, startCursor: String
}}
type App implements Node {{
  addOns({_PAGE}, type: AddOnType): AddOnConnection!
  appUrl: String
  cnameTarget: String
  config: AppConfig!
  createdAt: ISO8601DateTime!
  currentRelease: Release
  currentReleaseUnprocessed: ReleaseUnprocessed
  deployed: Boolean!
  egressIpAddresses({_PAGE}): EgressIPAddressConnection!
  hostname: String
  id: ID!
  image(ref: String!): Image
  imageDetails: ImageVersion
  internalNumericId: Int!
  ipAddresses({_PAGE}): IPAddressConnection!
  limitedAccessTokens({_PAGE}): LimitedAccessTokenConnection!
  machines(active: Boolean, {_PAGE}, version: Int): MachineConnection!
  name: String!
  network: String
  organization: Organization!
  platformVersion: PlatformVersionEnum
  releases({_PAGE}): ReleaseConnection!
  releasesUnprocessed({_PAGE}, status: String): ReleaseUnprocessedConnection!
  role: AppRole
  secrets: [Secret!]!
  services: [Service!]!
  sharedIpAddress: String
  status: String!
  version: Int!
}}
type AppConfig {{ definition: JSON! }}
type EmptyAppRole implements AppRole {{ name: String! }}
type Service {{
  description: String!, internalPort: Int!, ports: [ServicePort!]!, protocol: ServiceProtocolType!
}}
type ServicePort {{ handlers: [ServiceHandlerType!]!, port: Int }}
enum ServiceProtocolType {{ TCP UDP }}
enum ServiceHandlerType {{ HTTP PG_TLS PROXY_PROTO TLS }}
type Organization implements Node {{
  addOnSsoLink: String
  addOns({_PAGE}, type: AddOnType): AddOnConnection!
  apps({_PAGE}): AppConnection!
  billable: Boolean!
  billingStatus: BillingStatus!
  id: ID!
  internalNumericId: BigInt!
  limitedAccessTokens({_PAGE}): LimitedAccessTokenConnection!
  name: String!
  paidPlan: Boolean!
  provisionsBetaExtensions: Boolean!
  rawSlug: String!
  remoteBuilderApp: App
  remoteBuilderImage: String!
  slug: String!
  type: OrganizationType!
  viewerRole: String!
}}
type Release implements Node {{
  createdAt: ISO8601DateTime!, deploymentStrategy: DeploymentStrategy!, description: String!
  evaluationId: String, id: ID!, imageRef: String, inProgress: Boolean!, reason: String!
  stable: Boolean!, status: String!, updatedAt: ISO8601DateTime!, user: User, version: Int!
}}
type ReleaseUnprocessed implements Node {{
  configDefinition: JSON
  createdAt: ISO8601DateTime!, deploymentStrategy: DeploymentStrategy!, description: String!
  evaluationId: String, id: ID!, imageRef: String, inProgress: Boolean!, reason: String!
  stable: Boolean!, status: String!, updatedAt: ISO8601DateTime!, user: User, version: Int!
}}
type Machine implements Node {{
  app: App!, config: JSON!, createdAt: ISO8601DateTime!
  egressIpAddresses({_PAGE}): EgressIPAddressConnection!
  host: Host!, id: ID!, instanceId: String!, ips({_PAGE}): MachineIPConnection!, name: String!
  region: String!, state: String!, updatedAt: ISO8601DateTime!
}}
type Host implements Node {{ id: ID! }}
type MachineIP implements Node {{
  family: String!, id: ID!, ip: String!, kind: String!, maskSize: Int!
}}
type Volume implements Node {{
  app: App!, attachedMachine: Machine, createdAt: ISO8601DateTime!, encrypted: Boolean!, id: ID!
  name: String!, region: String!, sizeGb: Int!, snapshotRetentionDays: Int
  snapshots({_PAGE}): VolumeSnapshotConnection!, state: String!
}}
type VolumeSnapshot implements Node {{
  createdAt: ISO8601DateTime!, digest: String!, id: ID!, retentionDays: Int, size: BigInt!
}}
type IPAddress implements Node {{
  address: String!, createdAt: ISO8601DateTime!, id: ID!, network: Network, region: String
  serviceName: String, type: IPAddressType!
}}
type Network implements Node {{ id: ID!, name: String!, organization: Organization! }}
type EgressIPAddress implements Node {{
  id: ID!, ip: String!, region: String!, updatedAt: ISO8601DateTime!, version: Int!
}}
type Image implements Node {{
  compressedSize: Int!, compressedSizeFull: BigInt!, digest: String!, id: ID!, manifest: JSON!
  ref: String!, registry: String!, repository: String!, tag: String
}}
type ImageVersion {{
  digest: String!, registry: String!, repository: String!, tag: String!, version: String
}}
type Secret implements Node {{
  createdAt: ISO8601DateTime!, digest: String!, id: ID!, name: String!
}}
type LimitedAccessToken implements Node {{
  createdAt: ISO8601DateTime!, expiresAt: ISO8601DateTime!, id: ID!, name: String!
  organization: Organization!, profile: String!, revokedAt: ISO8601DateTime, token: String!
  tokenHeader: String, user: User!
}}
type User implements Node & Principal {{
  email: String!, enablePaidHobby: Boolean!, id: ID!, name: String
}}
type Macaroon implements Principal {{ email: String!, name: String }}
type FlyPlatform {{ regions: [Region!]!, requestRegion: String }}
type Region {{
  code: String!, deprecated: Boolean!, gatewayAvailable: Boolean!, latitude: Float
  longitude: Float, name: String!, requiresPaidPlan: Boolean!
}}
type AddOn implements Node {{
  addOnPlan: AddOnPlan, errorMessage: String, id: ID!, metadata: JSON, name: String, options: JSON
  organization: Organization!, primaryRegion: String, privateIp: String, readRegions: [String!]
  status: String
}}
type AddOnPlan implements Node {{ description: String, displayName: String, id: ID! }}
"""
_CONNECTED = (
    *("AddOn", "App", "EgressIPAddress", "IPAddress", "LimitedAccessToken", "Machine"),
    *("MachineIP", "Organization", "Release", "ReleaseUnprocessed", "VolumeSnapshot"),
)


def text() -> str:
    """Return the schema in GraphQL's language."""
    connections = "".join(
        f"type {name}Connection {{ nodes: [{name}], pageInfo: PageInfo!, totalCount: Int! }}\n"
        for name in _CONNECTED
    )
    return f"{_SCALARS}{_QUERIES}{_INPUTS}{_OBJECTS}{connections}"


@cache
def schema() -> GraphQLSchema:
    """Return the schema; it is built once."""
    return build_schema(text())
