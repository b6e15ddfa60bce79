-- The two login roles, created when Postgres initializes; neither is a superuser. `enablebot` owns the database,
-- and only `web migrate` uses it. `enablebot_app` is that of the services: it owns nothing, creates nothing,
-- bypasses nothing, and may only `set role` to the roles that `web migrate --service-role enablebot_app` makes
-- it a member of.
\getenv password DATABASE_PASSWORD
\getenv owner_password DATABASE_OWNER_PASSWORD
create role enablebot login createrole createdb bypassrls nosuperuser password :'owner_password';
create role enablebot_app login noinherit nocreaterole nocreatedb nobypassrls nosuperuser password :'password';
create database enablebot owner enablebot;
revoke temporary on database enablebot from public;
